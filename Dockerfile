# Two images from one file: `web` carries no PyTorch, `worker` does. Both run as an ordinary user.
#   docker build --target web -t brickyard-web .
#   docker build --target worker -t brickyard-worker .

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/venv/bin:$PATH OMP_WAIT_POLICY=PASSIVE TOKENIZERS_PARALLELISM=false
WORKDIR /app
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin brickyard \
    && mkdir -p /data/blobs /data/cache /data/static /data/metrics \
    && chown -R brickyard:brickyard /data \
    && python -m venv /venv

FROM base AS web-dependencies
COPY pyproject.toml constraints.txt ./
COPY scripts/requirements.py scripts/
RUN python scripts/requirements.py > requirements.txt && pip install -c constraints.txt -r requirements.txt

FROM base AS worker-dependencies
COPY pyproject.toml constraints.txt ./
COPY scripts/requirements.py scripts/
RUN python scripts/requirements.py worker > requirements.txt && pip install -c constraints.txt -r requirements.txt

# Pages, REST, and the marketplace's own worker.
FROM base AS web
COPY --from=web-dependencies /venv /venv
COPY manage.py ./
COPY marketplace marketplace
COPY inference_worker inference_worker
COPY templates templates
COPY static static
RUN SECRET_KEY=build DATABASE_URL=postgres://build@/build REDIS_URL=redis://build STATIC_ROOT=/data/static \
    python manage.py collectstatic --no-input --skip-checks -v 0 && chown -R brickyard:brickyard /data/static
ENV STATIC_ROOT=/data/static PROMETHEUS_MULTIPROC_DIR=/data/metrics
USER brickyard
EXPOSE 8000
CMD ["uvicorn", "marketplace.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "off", \
     "--no-access-log", "--timeout-graceful-shutdown", "10"]

# What runs models. It holds no address of the database.
FROM base AS worker
COPY --from=worker-dependencies /venv /venv
COPY inference_worker inference_worker
ENV BLOB_CACHE=/data/cache HF_HOME=/data/cache/huggingface
USER brickyard
