"""From the bytes of a sound to its samples: bounded, one channel, at the rate that a model wants.

libsndfile reads WAV, FLAC, Ogg and MP3. Knows nothing of models.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy
import soundfile
import soxr

from inference.errors import InvalidRequest, TooLarge

MOST_BYTES = 32 * 2**20
MOST_SECONDS = 300
FASTEST, SLOWEST = 192_000, 4_000


def decode_sounds(files: Sequence[bytes], rate: int) -> list[numpy.ndarray]:
    """The samples of each file, float32 at ``rate`` a second; errors as ``decode_sound``'s."""
    return [decode_sound(file, rate) for file in files]


def decode_sound(data: bytes, rate: int) -> numpy.ndarray:
    """The samples of a file: ``TooLarge`` for too many, ``InvalidRequest`` for what is no sound."""
    if len(data) > MOST_BYTES:
        raise TooLarge(f"The sound is {len(data)} bytes long; at most {MOST_BYTES} are taken.")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if not SLOWEST <= file.samplerate <= FASTEST:
                raise InvalidRequest(f"The sound has {file.samplerate} samples a second, which is unusual.")
            # What the header announces may be wrong: no more than this is read.
            samples = file.read(MOST_SECONDS * file.samplerate + 1, dtype="float32", always_2d=True)
            found = file.samplerate
    except soundfile.SoundFileError as error:
        raise InvalidRequest("The sound cannot be read. Send WAV, FLAC, Ogg or MP3.") from error
    if len(samples) > MOST_SECONDS * found:
        raise TooLarge(f"The sound is longer than {MOST_SECONDS} seconds. Send a shorter part of it.")
    if not len(samples):
        raise InvalidRequest("The sound is empty.")
    mono = numpy.nan_to_num(samples.mean(axis=1)).clip(-1, 1)
    resampled: numpy.ndarray = soxr.resample(mono, found, rate)
    return resampled
