"""The shared part of all language model providers.

Providers are registered with ``add_provider``. All other code calls ``get_models``.
"""

# {% if "celery" in components and "socketio" in components %}
from app.llm import jobs, live
# {% elif "celery" in components %}
from app.llm import jobs
# {% elif "socketio" in components %}
from app.llm import live
# {% endif %}
from app.llm.errors import ProviderError
from app.llm.schemas import Answer, Prompt
from app.llm.service import Provider, add_provider, get_models

__all__ = [
    "Answer",
    "Prompt",
    "Provider",
    "ProviderError",
    "add_provider",
    "get_models",
    # {% if "celery" in components %}
    "jobs",
    # {% endif %}
    # {% if "socketio" in components %}
    "live",
    # {% endif %}
]
