"""The sealed content: one frozen class per message type, by family (spec/messages.md)."""
