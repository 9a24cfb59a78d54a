"""What a sender is told where no machine could open what it sends, or where its own is put out."""

from __future__ import annotations

from taskferry_protocol.accounts import AccountLog, DeviceStatus
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.former_names import is_former, shown_agent
from taskferry_protocol.ids import AgentRef, DeviceId

from .port import DaemonRefusal

__all__ = ["PUT_OUT", "check_not_former", "check_not_put_out", "unserved"]

#: For whoever sends from a machine of which the relay says so.
PUT_OUT = (
    "The relay says that this machine was put out of your account: this waits here and is not sent. If that "
    "is right, link it again from an empty data directory: taskferry device link"
)


def unserved(log: AccountLog, to: AgentRef, name: str) -> DaemonRefusal:
    """The refusal where, by the log held, no device serves `to`; `name` is what its owner is called here."""
    owner = f"@{name}"
    if to.device is not None:
        return _gone("That machine is none of your account's any more.", "See: taskferry device list")
    if not log.state.active_devices():
        return _gone(
            f"{owner} has no machine any more: the last one was put out of the account. Nothing was sent.",
            f"Ask {owner} by another way; the account comes back with its recovery phrase.",
        )
    return DaemonRefusal(
        RejectCode.UNKNOWN_RECIPIENT.value,
        f"{owner} has no agent {to.name} any more: it was withdrawn, or the last machine that served it was "
        "put out. Nothing was sent.",
        f"Ask {owner} by another way which agent there is now. A task with the former one can be ended.",
        status=404,
    )


def check_not_former(*agents: AgentRef) -> None:
    """Nothing if all are agents that there may be now. Raises DaemonRefusal(unknown-agent)."""
    for agent in agents:
        if is_former(agent.name):
            raise DaemonRefusal(
                RejectCode.UNKNOWN_AGENT.value,
                f"{shown_agent(agent.name)} was withdrawn: nothing is said by it or to it any more.",
                "Who has the name now is another agent, with tasks of its own.",
                status=409,
            )


def check_not_put_out(log: AccountLog, device: DeviceId) -> None:
    """Nothing if a device stands in its account's log. Raises DaemonRefusal(device-gone)."""
    found = log.state.devices.get(device)
    if found is not None and found.status is not DeviceStatus.ACTIVE:
        raise _gone(
            "This machine is none of your account's any more: it was put out, or left. Nothing was sent.",
            "Send from another machine, or link this one again from an empty data directory: "
            "taskferry device link",
        )


def _gone(text: str, step: str) -> DaemonRefusal:
    return DaemonRefusal(RejectCode.DEVICE_GONE.value, text, step, status=409)
