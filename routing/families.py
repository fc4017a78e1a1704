def model_for(provider, client_model, translated):
    return provider.model or client_model


def api_for(provider, dialect):
    if provider.provider_type == "anthropic":
        return "anthropic"
    return dialect if dialect != "anthropic" else "openai-chat"
