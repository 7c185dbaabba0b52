"""Back ends of others that a bridge may stand beside: small, over real sockets, with the habits that real ones have."""
