"""Settings of Django's own tests: both of their databases on the server that the environment names."""

import os

_SERVER = {"ENGINE": "django.db.backends.mysql", "HOST": os.environ["DB_HOST"], "PORT": os.environ["DB_PORT"],
           "USER": os.environ["DB_USER"], "PASSWORD": os.environ["DB_PASSWORD"]}
DATABASES = {"default": {**_SERVER, "NAME": "django", "TEST": {"CHARSET": "utf8mb4"}},
             "other": {**_SERVER, "NAME": "django_other", "TEST": {"CHARSET": "utf8mb4"}}}
SECRET_KEY = "none"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "django_runner.Runner"
