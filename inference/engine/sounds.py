"""From the bytes of a sound to its samples: bounded, one channel, at the rate that a model wants.

libsndfile reads WAV, FLAC, Ogg and MP3; a long file is decoded and resampled a few seconds at a time, so
that only its samples at the wanted rate are ever held whole. Knows nothing of models.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy
import soundfile
import soxr

from inference.errors import InvalidRequest, TooLarge

MOST_BYTES = 32 * 2**20
MOST_SECONDS = 300
FASTEST, SLOWEST = 192_000, 4_000
MOST_CHANNELS = 8
# Seconds that are decoded at a time.
BLOCK_SECONDS = 10


def decode_sounds(files: Sequence[bytes], rate: int) -> list[numpy.ndarray]:
    """The samples of each file, float32 at ``rate`` a second; errors as ``decode_sound``'s."""
    return [decode_sound(file, rate) for file in files]


def decode_sound(data: bytes, rate: int, most_seconds: int = MOST_SECONDS) -> numpy.ndarray:
    """The samples of a file: ``TooLarge`` for too many, ``InvalidRequest`` for what is no sound."""
    if len(data) > MOST_BYTES:
        raise TooLarge(f"The sound is {len(data)} bytes long; at most {MOST_BYTES} are taken.")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if not SLOWEST <= file.samplerate <= FASTEST or file.channels > MOST_CHANNELS:
                raise InvalidRequest(
                    f"The sound has {file.channels} channels of {file.samplerate} samples a second, "
                    "which is unusual."
                )
            parts = list(_resampled(file, rate, most_seconds))
    except soundfile.SoundFileError as error:
        raise InvalidRequest("The sound cannot be read. Send WAV, FLAC, Ogg or MP3.") from error
    samples = numpy.concatenate(parts)
    if not len(samples):
        raise InvalidRequest("The sound is empty.")
    return samples


def _resampled(file: soundfile.SoundFile, rate: int, most_seconds: int) -> Iterator[numpy.ndarray]:
    """The samples of ``file`` at ``rate``, one block after the other.

    What the header announces may be wrong: what is read is counted, and no more than allowed.
    """
    found = file.samplerate
    stream = soxr.ResampleStream(found, rate, 1, dtype="float32")
    read = 0
    while True:
        block = file.read(BLOCK_SECONDS * found, dtype="float32", always_2d=True)
        read += len(block)
        if read > most_seconds * found:
            raise TooLarge(f"The sound is longer than {most_seconds} seconds. Send a shorter part of it.")
        mono = numpy.nan_to_num(block.mean(axis=1)).clip(-1, 1) if len(block) else block[:, 0]
        yield stream.resample_chunk(mono, last=len(block) < BLOCK_SECONDS * found)
        if len(block) < BLOCK_SECONDS * found:
            return
