# One image for web, worker and beat: compose.yaml says which command runs where.
FROM python:3.12-slim AS build
COPY requirements/base.txt /tmp/base.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/base.txt

FROM python:3.12-slim
RUN useradd --system --create-home --uid 10001 motorpool
COPY --from=build /venv /venv
WORKDIR /app
COPY --chown=motorpool . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8000 STATIC_ROOT=/app/staticfiles
# The settings want secrets; these stand for them while the static files are collected, and are not kept.
RUN SECRET_KEY=$(python -c "import secrets; print(secrets.token_urlsafe(48))") \
    FIELD_ENCRYPTION_KEYS=$(python -c "import secrets; print(secrets.token_hex(32))") \
    DATABASE_URL=postgresql://build@127.0.0.1/build REDIS_URL=redis://127.0.0.1/0 \
    python manage.py collectstatic --noinput && chown -R motorpool staticfiles
USER motorpool
EXPOSE 8000
CMD ["python", "-m", "fleet.web"]
