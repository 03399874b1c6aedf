"""Documents as bytes to `ParsedDocument`: formats and encodings, unstructured's partitioners, the process pool."""
