"""What is thrown at the decoder, and the check that nothing undocumented comes of it."""
