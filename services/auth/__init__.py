"""auth: the only program that sees secrets. Answers SASL steps on the bus."""
