"""What must survive a power cut: history, outbox and ledger in SQLite."""
