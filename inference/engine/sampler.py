"""From logits to the next tokens, for all rows of a step at once.

Each row by its own options, in the order of llama.cpp's sampler chain, Ollama's engine: logit
penalties, then the cuts ``top_k``, ``typical_p``, ``top_p`` and ``min_p``, each on the
probabilities of what the one before left, then the temperature, then a draw. A row draws from its
own random generator, one number a token: same seed, same text, whatever else is in the batch.
Temperature 0 takes the likeliest token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference.engine.cuts import column, cut
from inference.engine.logprobs import Score
from inference.engine.penalties import penalized, penalizes
from inference.engine.row import Row
from inference.protocol import Options

# Rows whose logprobs are computed at once: of a whole chunk of a prompt they would take much memory.
SCORED_AT_ONCE = 32
# Of a whole vocabulary, nearly always more than what is left after a cut.
USUALLY_ENOUGH = 512
ROUNDING = 1e-4
NO_TOKEN = -1
# JSON knows no infinity; OpenAI and vLLM say this too.
LEAST_LOGPROB = -9999.0


class BatchSampler:
    """Draws one token for each row, and says how likely it was."""

    @torch.inference_mode()
    def draw(self, logits: Tensor, rows: Sequence[Row]) -> list[int | None]:
        """Tokens drawn from ``logits``, ``[rows, vocabulary]``; ``None`` where these are no numbers."""
        if any(row.grammar for row in rows):
            logits = _constrained(logits, rows)
        if any(penalizes(row.options) for row in rows):
            logits = penalized(logits.float(), rows)
        groups = _groups(rows, logits.shape[-1])
        if len(groups) == 1:
            return _drawn(logits, rows, *groups)
        tokens: list[int | None] = [None] * len(rows)
        for candidates, places in groups.items():
            drawn = _drawn(logits[places], [rows[place] for place in places], candidates)
            for place, token in zip(places, drawn, strict=True):
                tokens[place] = token
        return tokens

    @torch.inference_mode()
    def score(
        self, logits: Tensor, tokens: Sequence[int | None], counts: Sequence[int | None]
    ) -> list[Score | None]:
        """Logprobs of ``tokens`` by ``logits`` ``[tokens, vocabulary]``, each with its ``counts`` likeliest
        rivals; ``None`` where there is no token or no count."""
        scores: list[Score | None] = [None] * len(tokens)
        asked = [
            (place, token, count)
            for place, (token, count) in enumerate(zip(tokens, counts, strict=True))
            if token is not None and count is not None
        ]
        for start in range(0, len(asked), SCORED_AT_ONCE):
            places, said, most = zip(*asked[start : start + SCORED_AT_ONCE], strict=True)
            for place, score in zip(places, _scores(logits[list(places)], said, most), strict=True):
                scores[place] = score
        return scores


def _groups(rows: Sequence[Row], vocabulary: int) -> dict[int, list[int]]:
    """Places of the rows that choose from the same number of tokens.

    Where logits are equal, which tokens come first depends on how many are looked for: rows that look
    for different numbers would, together, find others than alone.
    """
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(_candidates(row.options, vocabulary), []).append(place)
    return groups


def _candidates(options: Options, vocabulary: int) -> int:
    """How many of the likeliest tokens a row may choose from."""
    return 1 if options.temperature == 0 else min(options.top_k or vocabulary, vocabulary)


def _drawn(logits: Tensor, rows: Sequence[Row], candidates: int) -> list[int | None]:
    """Draws of rows that choose from the same number of ``candidates``."""
    if candidates == 1:
        # Several times as fast as argmax, and it shows whether there are numbers at all.
        best, tokens = logits.max(dim=-1, keepdim=True)
    elif candidates < logits.shape[-1]:
        best, tokens = _drawn_from_best(logits, rows, candidates)
    else:
        best, tokens = _drawn_from_all(logits, rows)
    # Both in one tensor: each that is read waits for the device.
    sound = torch.where(best.isfinite(), tokens, NO_TOKEN)
    return [None if token == NO_TOKEN else token for token in sound[:, 0].tolist()]


def _drawn_from_best(logits: Tensor, rows: Sequence[Row], candidates: int) -> tuple[Tensor, Tensor]:
    """The best logits and the drawn tokens, each ``[rows, 1]``."""
    options = [row.options for row in rows]
    best, tokens = torch.topk(logits, candidates, dim=-1)
    # The draw itself happens on the CPU, in float32: the same on every device.
    best, tokens = best.to("cpu", torch.float32), tokens.cpu()
    return best[:, :1], tokens.gather(1, _places(cut(best, options), options, rows))


def _drawn_from_all(logits: Tensor, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """The same for rows that choose from the whole vocabulary, each put in order only as far as it has to
    be: to sort it can take longer than a step of a small model."""
    logits = logits.to("cpu", torch.float32)
    best, tokens = zip(
        *(_drawn_from_whole(logits[place][None], row) for place, row in enumerate(rows)), strict=True
    )
    return torch.cat(best), torch.cat(tokens)


def _drawn_from_whole(logits: Tensor, row: Row) -> tuple[Tensor, Tensor]:
    options = row.options
    if options.typical_p == 1 and options.top_p == 1 and not options.min_p:
        return logits.max(dim=-1, keepdim=True).values, _places(logits, [options], [row])
    total = logits.logsumexp(dim=-1, keepdim=True)
    best, tokens = torch.topk(logits, min(USUALLY_ENOUGH, logits.shape[-1]), dim=-1)
    if not _holds_all((best - total).exp()[0], options):
        return _drawn_from_best(logits, [row], logits.shape[-1])
    return best[:, :1], tokens.gather(1, _places(cut(best, [options], total), [options], [row]))


def _holds_all(likeliest: Tensor, options: Options) -> bool:
    """Whether all that cuts leave of a vocabulary is among the tokens with the ``likeliest``
    probabilities."""
    if options.typical_p != 1:
        return False
    within_top_p = float(likeliest.sum()) >= (options.top_p or 0.0) + ROUNDING
    within_min_p = float(likeliest[-1]) < (options.min_p or 0.0) * float(likeliest[0])
    return within_top_p or within_min_p


def _scores(logits: Tensor, tokens: Sequence[int], counts: Sequence[int]) -> list[Score]:
    total = logits.float().logsumexp(dim=-1, keepdim=True)
    said = logits.gather(1, torch.tensor(tokens, device=logits.device)[:, None])
    best, others = torch.topk(logits, min(max(counts), logits.shape[-1]), dim=-1)
    logprobs = (torch.cat((said, best), dim=1).float() - total).nan_to_num(
        nan=LEAST_LOGPROB, neginf=LEAST_LOGPROB
    )
    rows = zip(logprobs.tolist(), others.tolist(), counts, strict=True)
    return [
        Score(own, list(zip(top[:count], theirs[:count], strict=True))) for (own, *theirs), top, count in rows
    ]


def _constrained(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """``logits`` with -inf where a row's format does not let a token follow."""
    blocked = torch.zeros(logits.shape, dtype=torch.bool)
    for row, tokens in zip(rows, blocked, strict=True):
        if row.grammar:
            torch.logical_not(row.grammar.allowed(), out=tokens)
    # All at once: each tensor that is sent to a GPU costs as much as a kernel or two.
    return logits.float().masked_fill(blocked.to(logits.device), -torch.inf)


def _places(best: Tensor, options: Sequence[Options], rows: Sequence[Row]) -> Tensor:
    """Where in ``best`` each row's draw fell, ``[rows, 1]``."""
    temperature = column(options, "temperature", 1).clamp_min(1e-6)
    probabilities = (best / temperature).softmax(dim=-1)
    numbers = torch.tensor([[row.random.random()] for row in rows], dtype=torch.float64)
    sums = probabilities.double().cumsum(dim=-1)
    drawn = (sums <= numbers * sums[:, -1:]).sum(dim=-1, keepdim=True)
    return drawn.clamp_max(best.shape[1] - 1)
