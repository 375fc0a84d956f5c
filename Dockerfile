# The production image: without tools, tests or root privileges.
FROM python:3.13-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends npm && rm -rf /var/lib/apt/lists/*
WORKDIR /srv
RUN python -m venv .venv
COPY requirements.lock .
RUN .venv/bin/python -m pip install --no-cache-dir --require-hashes -r requirements.lock
COPY app app
RUN .venv/bin/python -m app.web.graphiql.fetch

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home orders
WORKDIR /srv
COPY --from=build /srv /srv
COPY alembic alembic
COPY config config
COPY alembic.ini schema.graphql ./
ENV PATH=/srv/.venv/bin:$PATH PYTHONUNBUFFERED=1 APP_ENV=production HOST=0.0.0.0 PORT=8000
USER orders
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/livez\", timeout=2)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
