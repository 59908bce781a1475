"""odmr: lets a customer in with auth's word, turns the line, and streams what it has leased until the queue is empty."""
