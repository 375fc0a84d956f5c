"""Whatever is sent: it is answered, soon, with nothing but what is documented, and the log has no error of it."""
