"""outbound: what time does to the spool, and the notices that senders are owed, sent to their own servers."""
