"""A second machine of one owner, as real processes: linked, served, brought up to date, put out."""

from __future__ import annotations

from .conftest import House, here, texts, until


def test_a_second_machine_is_linked_served_and_put_out(house: House):
    """Words link it; mail reaches both; history follows; once revoked it is cut off, here and at the peer."""
    alice, bob = house.owner("alice", "requester"), house.owner("bob", "writer")
    house.connect(alice, bob)
    for number in range(5):
        bob.post("/messages/send", {"from": "writer", "to": "@alice/requester", "text": f"before {number}"})
    until(lambda: len(texts(alice, "requester")) == 5)
    task = alice.post("/tasks", {"from": "requester", "to": "@bob/writer", "title": "A haiku"})["task_id"]
    _, second = house.start("alice2")
    device = house.link(alice, second)
    until(lambda: here(second)["agents"] == ["requester"])
    until(lambda: len(texts(second, "requester")) == 5)
    until(lambda: not alice.get("/devices")["sharing"])
    assert until(lambda: second.get("/connections", state="accepted")["connections"])
    assert until(lambda: second.get("/tasks")["tasks"])[0]["task_id"] == task

    bob.post("/messages/send", {"from": "writer", "to": "@alice/requester", "text": "to both"})
    for client in (alice, second):
        until(lambda: "to both" in texts(client, "requester", unprocessed=True))  # noqa: B023
    second.post("/messages/send", {"from": "requester", "to": "@bob/writer", "text": "from the second"})
    until(lambda: "from the second" in texts(bob, "writer"))
    until(
        lambda: any(
            item["payload"].get("text") == "from the second"
            for item in alice.get("/messages", agent="requester")["messages"]
        )
    )
    bob.post(f"/tasks/{task}/accept", {"from": "writer"})
    until(lambda: second.get(f"/tasks/{task}")["state"] == "accepted")
    told = second.post(f"/tasks/{task}/cancel", {"reason": "no"})
    assert told["passed_on"] is True
    path = f"/tasks/{task}/requests/{told['request']['request_id']}"
    assert second.get(path, wait=30)["request"]["state"] == "done"
    until(lambda: bob.get(f"/tasks/{task}")["state"] == "cancelled")

    alice.post(f"/devices/{device}/revoke", {"reason": "left on a train"})
    until(lambda: not second.get("/health")["relay"]["connected"])
    until(lambda: "device-gone" in second.get("/health")["relay"]["last_error"])
    alice.post("/messages/send", {"from": "requester", "to": "@bob/writer", "text": "only me now"})
    until(lambda: "only me now" in texts(bob, "writer"))
    bob.post("/messages/send", {"from": "writer", "to": "@alice/requester", "text": "only to you"})
    until(lambda: "only to you" in texts(alice, "requester"))
    assert "only to you" not in texts(second, "requester")
