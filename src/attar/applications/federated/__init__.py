"""Federated learning in one message: clients send condensed sets, a server merges and trains."""
