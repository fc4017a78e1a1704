def translate_request(client, provider, body, model):
    raise NotImplementedError
