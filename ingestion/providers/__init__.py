"""One module per telematics source, and the shapes that every source shares (``base``)."""
