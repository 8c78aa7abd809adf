"""Tokenizers of several kinds, built here, and chat templates for them."""

from __future__ import annotations

from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "the car says please go then stop at red light . R3 : if gap < 20 forbid A2 yes no system user assistant",
    "<think> [INST] hello world 0123456789 instruct think you are a helpful schema goal options act",
    'abc def ghi jkl mno pqr stu vwx yz ABCDEFGHIJKLMNOPQRSTUVWXYZ {}[]()<>|/_:.,;!?#*-+="',
]


@cache
def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2 and Qwen: one token is beginning, end and unknown; turns are special tokens, some tokens are added."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False))
    end = "<|endoftext|>"
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=end, eos_token=end, unk_token=end)
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.add_tokens([AddedToken("<think>", normalized=True), AddedToken("<tool>", lstrip=True, rstrip=True)])
    return made


@cache
def unigram() -> PreTrainedTokenizerFast:
    """As Llama and T5 by SentencePiece: NFKC, metaspace, and special tokens that the model itself finds in text."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    names = ["<pad>", "</s>", "<unk>", "<s>"]
    core.train_from_iterator(
        TEXTS * 20,
        trainers.UnigramTrainer(vocab_size=150, special_tokens=names, unk_token="<unk>", show_progress=False),
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    )
    made.add_tokens([AddedToken("<think>", normalized=True), AddedToken("<|im_end|>", rstrip=True)])
    return made


@cache
def word_piece() -> PreTrainedTokenizerFast:
    """As BERT: lower case, no accents, `##` inside words."""
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    core.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=260, special_tokens=names, show_progress=False)
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    made.add_tokens([AddedToken("[tool]", normalized=True), AddedToken("<think>", lstrip=True)])
    return made


@cache
def byte_fallback() -> PreTrainedTokenizerFast:
    """As Llama 2: a space in front, unknown letters as bytes, whole tokens for `R3:` and `[INST]`."""
    table = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for name in [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", *map(chr, range(33, 127))]:
        table.setdefault(name, len(table))
    merges = [("▁", "g"), ("▁g", "o"), ("R", "3"), ("R3", ":"), ("▁", "R3:")]
    merges += [("[", "I"), ("[I", "N"), ("[IN", "S"), ("[INS", "T"), ("[INST", "]")]
    for left, right in merges:
        table[left + right] = len(table)
    core = Tokenizer(models.BPE(vocab=table, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


@cache
def spelled_bytes() -> PreTrainedTokenizerFast:
    """A unigram model whose byte pieces score as high as words do, so that it finds them spelled out in text."""
    words = [("▁", -2.0), *((chr(code), -3.0) for code in range(33, 127)), ("R3", -1.0), ("▁go", -1.0)]
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((f"<0x{byte:02X}>", -1.0) for byte in range(256)), *words]
    core = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


FLAGS = ("lstrip", "rstrip", "normalized", "single_word", "special")


def added_name(flags: int) -> str:
    """Name of the token that `flagged` adds with these flags, a bit for each of `FLAGS`."""
    return f"<added{flags:02d}>"


@cache
def flagged() -> PreTrainedTokenizerFast:
    """Byte-level with NFKC, lower case and an added token for every setting of its flags."""
    made = byte_level.__wrapped__()
    made.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    for bits in range(1 << len(FLAGS)):
        made.add_tokens([AddedToken(added_name(bits), **{flag: bool(bits >> n & 1) for n, flag in enumerate(FLAGS)})])
    return made


KINDS = {
    "byte-level": byte_level,
    "unigram": unigram,
    "word-piece": word_piece,
    "byte-fallback": byte_fallback,
    "spelled-bytes": spelled_bytes,
}


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set said = '<<SYS>>\n' + messages[0]['content'].strip() + '\n<</SYS>>"
    "\n\n' + messages[1]['content'] %}{% else %}{% set said = messages[0]['content'] %}{% endif %}"
    "{{ (bos_token | default('')) + '[INST] ' + said.strip() + ' [/INST]' }}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
VICUNA = "{% for m in messages %}{{ m['role'].upper() }}: {{ m['content'] }} {% endfor %}ASSISTANT:"
DATED = (
    "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{{ 'Today: ' + date_string }}" + CHATML
)
THINKING = CHATML + "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"

TEMPLATES = {
    "chatml": CHATML,
    "llama-2": LLAMA_2,
    "gemma": GEMMA,
    "vicuna": VICUNA,
    "dated": DATED,
    "thinking": THINKING,
}


def chat_tokenizer(kind: str = "byte-level", template: str = CHATML) -> PreTrainedTokenizerFast:
    """A tokenizer of a kind of its own copy with a chat template."""
    made = KINDS[kind].__wrapped__()
    made.chat_template = template
    return made
