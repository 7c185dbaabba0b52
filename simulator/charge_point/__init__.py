"""OCPP 1.6J charge points as makers build them: frames, profiles, transactions, reconnection. No platform code."""
