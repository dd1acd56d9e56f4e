"""Other libraries that convolve with fastconv: a module for each, which asks for the library when it is used."""
