"""``python -m tests.train_shapes``: makes ``tests/data/shapes``, a tiny model that really sees.

A LLaVA of 0.8 million parameters that names the colour and the shape in pictures of
``tests.shapes``. First its tower learns to tell colours and shapes, then the whole model to answer.
About ten minutes on one thread; the same numbers each time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from tests.shapes import COLOURS, NAMES, SHAPES, draw

FOLDER = Path(__file__).parent / "data" / "shapes"
SIDE, PATCH = 48, 8
PICTURES, BATCH = 9600, 48
TOWER_STEPS, STEPS = 1800, 900
SYSTEMS = ("", "", "You are a helpful assistant.", "Answer briefly.")
ASK_ALL = (
    "What is this?",
    "What is in this picture?",
    "What do you see?",
    "Describe the picture.",
    "What is in the image?",
    "Describe this image.",
)
ASK_COLOUR = ("What colour is it?", "Which colour does it have?", "What color is it?")
ASK_SHAPE = ("What shape is it?", "Which shape is it?")
ASK_BOTH = ("What are these?", "What is in these pictures?", "Describe both pictures.")
NOTHING = "I see no picture."
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

Chat = tuple[list[int], list[dict[str, Any]]]


def make_processor() -> LlavaProcessor:
    words = [*SYSTEMS, *ASK_ALL, *ASK_COLOUR, *ASK_SHAPE, *ASK_BOTH, NOTHING, "system user assistant"]
    words += [f"A {colour} {shape}. {colour.title()}." for colour, shape in NAMES]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(words * 4, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": "<image>"},
        padding_side="right",
    )
    pictures = CLIPImageProcessorPil(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    return LlavaProcessor(
        pictures,
        fast,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


def make_model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    tokenizer = processor.tokenizer
    config = LlavaConfig(
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        vision_config=CLIPVisionConfig(
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=SIDE,
            patch_size=PATCH,
            projection_dim=96,
        ),
        image_token_index=processor.image_token_id,
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config).to(torch.float32)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model


def train_tower(model: Any, pixels: Tensor, labels: Tensor) -> None:
    """Let the tower tell colours and shapes, by two heads that are thrown away."""
    tower = model.model.vision_tower
    heads = nn.Linear(96, len(COLOURS) + len(SHAPES))
    order = torch.Generator().manual_seed(1)
    for optimizer in _schedule([*tower.parameters(), *heads.parameters()], 2e-3, TOWER_STEPS):
        chosen = torch.randint(len(pixels), (BATCH,), generator=order)
        states = tower(pixel_values=pixels[chosen]).last_hidden_state[:, 1:]
        colour, shape = heads(states.mean(dim=1)).split([len(COLOURS), len(SHAPES)], dim=1)
        loss = functional.cross_entropy(colour, labels[chosen, 0])
        loss = loss + functional.cross_entropy(shape, labels[chosen, 1])
        loss.backward()
        optimizer.step()
        _say("tower", optimizer, loss)


def train(model: Any, processor: Any, pixels: Tensor, names: list[tuple[str, str]]) -> None:
    chance = random.Random(2)
    for optimizer in _schedule(list(model.parameters()), 2e-3, STEPS):
        chats = [_chat(chance, names) for _ in range(BATCH)]
        tokens, targets = _tokens(processor, [messages for _, messages in chats])
        shown = [index for indices, _ in chats for index in indices]
        logits = model(
            input_ids=tokens,
            attention_mask=(tokens != processor.tokenizer.pad_token_id).long(),
            pixel_values=pixels[shown] if shown else None,
        ).logits
        loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        _say("model", optimizer, loss)


def _chat(chance: random.Random, names: list[tuple[str, str]]) -> Chat:
    """Pictures, and a chat about them: of one, of one in two turns, of two, or of none."""
    system = chance.choice(SYSTEMS)
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    kind, shown = chance.random(), [chance.randrange(len(names)) for _ in range(2)]
    if kind < 0.08:
        return [], messages + _turn(0, chance.choice(ASK_ALL + ASK_BOTH), NOTHING)
    (colour, shape), second = names[shown[0]], names[shown[1]]
    if kind < 0.3:
        answer = f"A {colour} {shape} and a {second[0]} {second[1]}."
        return shown, messages + _turn(2, chance.choice(ASK_BOTH), answer)
    turns = [
        (chance.choice(ASK_ALL), f"A {colour} {shape}."),
        (chance.choice(ASK_COLOUR), f"{colour.title()}."),
        (chance.choice(ASK_SHAPE), f"A {shape}."),
    ]
    count = 1 if chance.random() < 0.75 else 2
    chosen = (
        [turns[0], *chance.sample(turns[1:], 2)][:count]
        if chance.random() < 0.6
        else chance.sample(turns, count)
    )
    for place, (question, answer) in enumerate(chosen):
        messages += _turn(1 if place == 0 else 0, question, answer)
    return shown[:1], messages


def _turn(pictures: int, question: str, answer: str) -> list[dict[str, Any]]:
    content: list[dict[str, str]] = [{"type": "image"}] * pictures + [{"type": "text", "text": question}]
    return [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]


def _tokens(processor: Any, chats: list[list[dict[str, Any]]]) -> tuple[Tensor, Tensor]:
    """Tokens ``[chats, longest]``, and those of them that are to be learnt, -100 elsewhere."""
    tokenizer = processor.tokenizer
    end, start = tokenizer.eos_token_id, tokenizer.encode("<|im_start|>assistant\n")
    rows, targets = [], []
    for messages in chats:
        text = processor.apply_chat_template(messages)
        row = tokenizer.encode(text.replace("<image>", "<image>" * (SIDE // PATCH) ** 2))
        learnt, inside = [], False
        for place, token in enumerate(row):
            learnt.append(token if inside else -100)
            if row[place + 1 - len(start) : place + 1] == start:
                inside = True
            elif token == end:
                inside = False
        rows.append(row)
        targets.append(learnt)
    longest = max(map(len, rows))
    pad = tokenizer.pad_token_id
    return (
        torch.tensor([row + [pad] * (longest - len(row)) for row in rows]),
        torch.tensor([row + [-100] * (longest - len(row)) for row in targets]),
    )


def _schedule(parameters: list[nn.Parameter], rate: float, steps: int) -> Iterator[torch.optim.Optimizer]:
    """The optimizer, ready for each of ``steps``, its rate rising and then falling to nothing."""
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.1)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        yield optimizer
        schedule.step()


def _say(what: str, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    step = int(next(iter(optimizer.state.values()))["step"])
    if step % 100 == 0:
        print(what, step, round(loss.item(), 4), flush=True)  # noqa: T201


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    processor = make_processor()
    names = [NAMES[index % len(NAMES)] for index in range(PICTURES)]
    pictures = [draw(colour, shape, index) for index, (colour, shape) in enumerate(names)]
    pixels = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    labels = torch.tensor([(list(COLOURS).index(colour), SHAPES.index(shape)) for colour, shape in names])
    model = make_model(processor)
    train_tower(model, pixels, labels)
    train(model, processor, pixels, names)
    model.to(torch.bfloat16).save_pretrained(FOLDER)
    processor.save_pretrained(FOLDER)


if __name__ == "__main__":
    main()
