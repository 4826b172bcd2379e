"""Yandex SpeechKit, version 3, over gRPC."""
