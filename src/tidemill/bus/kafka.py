from typing import Any

KafkaBus: Any = None
