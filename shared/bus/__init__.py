"""NATS, the only import of nats. It only wakes and asks: every message can be lost, doubled or late without harm."""
