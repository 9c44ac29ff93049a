"""What several tests need: a real server, its HTTP and WebSocket clients, a browser."""
