"""The estimate of tokens against a real tokenizer with its own vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskferry_apps.mcp.budget import cut_to, fitting, tokens

from .counting import real_tokens

REPOSITORY = Path(__file__).resolve().parents[2]


SAMPLES = {
    "prose": (REPOSITORY / "README.md").read_text(),
    "code": (REPOSITORY / "src/taskferry_apps/settings.py").read_text(),
    "json": json.dumps(
        [{"id": f"{n:08x}", "what": "task_request", "peer_title": f"Report {n}"} for n in range(99)]
    ),
    "ids": "\n".join(f"{n * 2654435761 % 2**32:08x}" for n in range(200)),
    "german": "Über die Grenzen hinaus: Straßenverkehrszulassungsordnung und Donaudampfschifffahrt. " * 9,
    "russian": "Пожалуйста, напишите отчёт о состоянии сервера и отправьте его завтра утром. " * 9,
    "chinese": "请写一份关于服务器状态的报告,并在明天早上发送给我们。" * 9,
    "japanese": "サーバーの状態についての報告書を書いて、明日の朝に送ってください。" * 9,
    "arabic": "يرجى كتابة تقرير عن حالة الخادم وإرساله صباح الغد. " * 9,
    "hindi": "कृपया सर्वर की स्थिति पर एक रिपोर्ट लिखें और कल सुबह भेजें। " * 9,
    "emoji": "👩‍💻🚀🔥✅ " * 40,
    "base64": "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24sIGJ1dCBieSB0aGlz" * 9,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_estimate_is_on_the_safe_side(name: str) -> None:
    """It is no less than nine tenths of what a model counts, and no more than two and a half times that."""
    text = SAMPLES[name]
    real, guessed = real_tokens(text), tokens(text)
    print(f"{name}: {real} tokens, {guessed} estimated")
    assert 0.9 * real <= guessed <= 2.5 * real


def test_a_cut_text_fits() -> None:
    """What is left is a beginning of the text and within the budget."""
    text = SAMPLES["prose"]
    short = cut_to(text, 100)
    assert text.startswith(short)
    assert 80 < real_tokens(short) <= 111
    assert cut_to("short", 100) == "short"


def test_as_many_items_as_fit_and_one_at_least() -> None:
    """The last item that fits is found; one is shown even where none does."""
    items = [f"word{n} " for n in range(100)]
    count = fitting(items, 50, lambda some: ["".join(some)])
    assert tokens("".join(items[:count])) <= 50 < tokens("".join(items[: count + 1]))
    assert fitting(items, 0, lambda some: ["".join(some)]) == 1
    assert fitting([], 10, lambda some: ["".join(some)]) == 0
