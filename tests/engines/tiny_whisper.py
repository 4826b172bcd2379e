"""A Whisper of a few hundred thousand random weights, in the form that real weights have.

What it hears is nonsense; but loading, timing, filtering and cancelling are the real thing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engines.whisper.trust import Trust

# Random weights are sure of nothing.
CREDULOUS = Trust(
    no_speech_max=1, doubtful_min=-99, logprob_min=-99, compression_max=99, letters_per_s_max=1e9
)
WORDS = 2_000
LENGTH = 448  # faster-whisper takes every Whisper to have this many positions.


def build(directory: Path, *, seed: int = 7) -> Path:
    """Convert a random model into `directory`, which then holds all that ours needs."""
    import ctranslate2
    import torch
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from transformers import (
        PreTrainedTokenizerFast,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
    )

    source = directory.parent / f"{directory.name}-source"
    source.mkdir(parents=True)
    tokens = _tokenizer(source / "tokenizer.json")
    begin = tokens["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=len(tokens),
        num_mel_bins=80,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=LENGTH,
        decoder_start_token_id=begin,
        bos_token_id=tokens["<|endoftext|>"],
        eos_token_id=tokens["<|endoftext|>"],
        pad_token_id=tokens["<|endoftext|>"],
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():  # Large enough that different sound gives different nonsense.
        for weights in model.parameters():
            weights.mul_(4.0)
    languages = {f"<|{code}|>": tokens[f"<|{code}|>"] for code in _LANGUAGE_CODES}
    settings: Any = model.generation_config
    settings.is_multilingual, settings.lang_to_id = True, languages
    settings.alignment_heads = [[1, 0], [1, 1]]
    settings._from_model_config = False  # Or loading drops what the model's own config lacks.
    settings.suppress_tokens, settings.begin_suppress_tokens = [], []
    model.save_pretrained(source)
    features: Any = WhisperFeatureExtractor
    features().save_pretrained(source)
    tokenizer: Any = PreTrainedTokenizerFast
    tokenizer(tokenizer_file=str(source / "tokenizer.json")).save_pretrained(source)
    converter = ctranslate2.converters.TransformersConverter(
        str(source), copy_files=["tokenizer.json", "preprocessor_config.json"]
    )
    converter.convert(str(directory), force=True)
    return directory


def _tokenizer(path: Path) -> dict[str, int]:
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces.append("")  # By this odd token CTranslate2 knows a multilingual model.
    pieces += [f"Ġ{_syllables(n)}" for n in range(WORDS)]
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{each}|>" for each in _LANGUAGE_CODES),
    ]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"]
    special += ["<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens([AddedToken(each, special=True) for each in special])
    times = [AddedToken(f"<|{n * 0.02:.2f}|>", special=False) for n in range(1_501)]
    tokenizer.add_tokens(times)
    tokenizer.save(str(path))
    found: dict[str, int] = tokenizer.get_vocab()
    return found


def _syllables(number: int) -> str:
    """A pronounceable name of its own for every number."""
    word = ""
    while number or not word:
        number, syllable = divmod(number, 75)
        word += "bdfgklmnprstvxz"[syllable // 5] + "aeiou"[syllable % 5]
    return word
