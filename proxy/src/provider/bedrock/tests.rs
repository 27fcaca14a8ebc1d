//! Translation against the corpus, the decoder against any chunking and any death of the upstream.
