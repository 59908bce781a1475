"""inbound: the MX. Takes mail for hosted domains into the spool, says 250 after the commit, and says so on the bus."""
