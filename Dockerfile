# docker build -t vibe-orderbook-mcp .
# docker run -e VIBE_AUTH_TOKEN=... -p 127.0.0.1:8000:8000 -v vibe-data:/data vibe-orderbook-mcp
# As little as it needs: --read-only --cap-drop ALL --security-opt no-new-privileges. Only /data is written to.

# The digest is that of the tag in September 2026. Change both together.
ARG PYTHON_IMAGE=python:3.13.15-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS build
# For the compiled part of the core; the image that runs has no compiler.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
RUN python -m venv /opt/venv
# Before the source, so that a change in the source does not fetch the packages again.
COPY requirements.lock ./
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml setup.py README.md LICENSE ./
COPY src ./src
# What only builds and installs is not needed to run.
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation . \
 && /opt/venv/bin/pip uninstall --yes setuptools cython pip \
 && /opt/venv/bin/python -c "import vibe_orderbook_mcp.book._book_side" \
 && /opt/venv/bin/vibe-orderbook-mcp --version

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="vibe-orderbook-mcp" \
      org.opencontainers.image.description="Live, checked Binance order books with a memory, over MCP" \
      org.opencontainers.image.licenses="MIT"
# The number is fixed so that a volume keeps its owner from image to image.
RUN groupadd --gid 10001 vibe \
 && useradd --uid 10001 --gid vibe --no-create-home --home-dir /data --shell /usr/sbin/nologin vibe \
 && install --directory --owner vibe --group vibe /data
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VIBE_DATA_PATH=/data \
    VIBE_HOST=0.0.0.0
# Whoever reaches the container's network reaches this port, so the program does not start before it is said who may come
# in: VIBE_AUTH_TOKEN or VIBE_OAUTH_..., or VIBE_ALLOWED_HOSTS where everybody who reaches the port may. With the port
# published on 127.0.0.1 alone that is -e VIBE_ALLOWED_HOSTS=localhost; for a public name books.example.com, and
# VIBE_ALLOWED_ORIGINS=https://chatgpt.com for ChatGPT. A list of hosts is no access control: see SECURITY.md.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Alive, not ready: a container is not restarted because the exchange is down. /readyz says whether every book is live.
# It asks where VIBE_HOST and VIBE_PORT say. With `--host` or `--port` as arguments of the container it does not know.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-m", "vibe_orderbook_mcp.probe"]
ENTRYPOINT ["vibe-orderbook-mcp"]
CMD ["serve", "--transport", "http"]
