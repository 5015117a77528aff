"""HugWeb: any Hugging Face model on your own machine, behind the APIs your tools already speak."""

__version__ = "0.1.0"
