-- What was received and is no message, no event and no proof goes with the memory of having seen it.

-- Whether an envelope is the proof of a delivery.
CREATE INDEX receipts_got_by_receipt ON receipts_got (receipt);

DELETE FROM sealed
WHERE hash NOT IN (SELECT hash FROM seen)
    AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.hash = sealed.hash)
    AND NOT EXISTS (SELECT 1 FROM task_events e WHERE e.hash = sealed.hash)
    AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.hash = sealed.hash)
    AND NOT EXISTS (SELECT 1 FROM receipts_got r WHERE r.receipt = sealed.hash);
