"""What every conversation with a plain client does: ask, wait for the answer, read it."""

from __future__ import annotations

from .conftest import COUNTED
from .script import Call
from .tap import Event

TRANSCRIBED = "conversation.item.input_audio_transcription.completed"


async def counting(call: Call) -> str:
    """Begin a reply of half a minute; returns its response's id once it sounds."""
    call.say("Please count.")
    call.send("response.create")
    return str((await call.until("response.output_audio.delta"))["response_id"])


async def answered(call: Call) -> Event:
    """The next response, which must be whole."""
    done = (await call.until("response.done"))["response"]
    assert done["status"] == "completed", done
    return dict(done)


def words_in(response: Event) -> list[str]:
    """What a response says, in writing or in sound."""
    parts = [part for item in response["output"] for part in item["content"]]
    return " ".join(part.get("transcript") or part.get("text", "") for part in parts).split()


async def retrieved(call: Call, item_id: str) -> list[str]:
    """The words of an item as the server remembers them."""
    call.send("conversation.item.retrieve", item_id=item_id)
    return words_in({"output": [(await call.until("conversation.item.retrieved"))["item"]]})


async def refused(call: Call, event_id: str) -> str:
    """The code of the error that answers this event of the client's."""
    error = (await call.until("error"))["error"]
    assert error["event_id"] == event_id
    return str(error["code"])


def heard_in(response: Event, reason: str) -> list[str]:
    """The words of a reply of counting that was cut off for this reason: the first of them."""
    assert response["status"] == "cancelled", response
    assert response["status_details"]["reason"] == reason
    words = words_in(response)
    assert words == COUNTED[: len(words)]
    assert len(words) < len(COUNTED) / 2, "remembers what nobody has heard"
    return words
