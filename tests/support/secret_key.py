"""The key that encrypts secrets of test data."""

from core.config.settings import Settings
from core.security.encryption import SecretCipher

SECRET_KEY = "the key of the tests, which is long enough"
CIPHER = SecretCipher(Settings(secret_key=SECRET_KEY))
