"""The part that the providers of language models share."""
# {% if "celery" in components and "socketio" in components %}

from app.llm import jobs, live

__all__ = ["jobs", "live"]
# {% elif "celery" in components %}

from app.llm import jobs

__all__ = ["jobs"]
# {% elif "socketio" in components %}

from app.llm import live

__all__ = ["live"]
# {% endif %}
