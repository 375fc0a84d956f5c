"""How operations arrive and answers leave: HTTP, server-sent events and WebSockets."""
