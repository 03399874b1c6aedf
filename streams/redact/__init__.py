"""Personal data in documents: finding it in the parser processes, and each source's policy. streams.core decides."""
