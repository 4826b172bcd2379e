"""The doors: HTTP, WebSocket and WebRTC signalling."""
