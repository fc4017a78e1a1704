def translate_error(a, b, c, d):
    return d
