"""Video files: probing, decoding, the frame store, cutting."""
