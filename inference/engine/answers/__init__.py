"""What a model writes, read while it streams: text, thoughts and calls of tools told apart."""

from inference.engine.answers.base import AnswerReader

__all__ = ["AnswerReader"]
