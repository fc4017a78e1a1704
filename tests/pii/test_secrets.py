"""Secrets by their names: nothing of a value stays, its quotes do, and code that only passes values on is left alone."""

import pytest

from pii.detectors import find


def secrets(text: str) -> list[str]:
    return [text[f.start : f.end] for f in find(text, ["SECRET"])]


P, T = "Xk29vQ-m4tz", "9f8e7d6c5b4a39281706f5e4"  # a password, a token

# Strings by the rules of those who read them: what stands between ⟦ and ⟧ goes, and nothing else.
STRINGS = [
    "secret_key = '⟦django-9$x(k;2,m%s)7⟧'", 'password = "⟦pa$$w0rd⟧"', 'password = "⟦50%sOff!9⟧"', "password='⟦a(b)c;d,e9⟧'", 'password: "⟦example$Xk29⟧"',
    "password = '⟦test-Xk29-vQ⟧'", 'password = "⟦changeme-Xk29vQ⟧"', "password = '⟦it\\'s 4 me⟧'", 'password = "⟦a\\"b9c\\"d⟧"', 'password = "⟦two w0rds 9$⟧"', "password = `⟦Xk29+vQ⟧`",
    'password = """⟦Xk29"vQ\nm4⟧"""', "password = '''⟦Xk29'vQ m4⟧'''", 'password = b"⟦Xk29vQ⟧"', "password = r'⟦Xk29\\vQ⟧'", 'password = f"⟦Xk29vQ{n}m4⟧"', 'string password = @"⟦Xk29\\vQ⟧";',
    'var password = $"⟦Xk29vQ⟧";', "INSERT INTO u SET password = '⟦Xk''29''vQ⟧'", "export PASSWORD=$'⟦Xk29\\'vQ⟧'", 'let password = r#"⟦Xk29vQ⟧"#;', '{"password":"⟦Xk\\"29\\\\⟧"}', '{\\"password\\": \\"⟦Xk29vQ⟧\\", \\"a\\": 1}',
    '{\\"password\\": \\"⟦Xk\\\\\\"29vQ⟧\\"}', 'password = "⟦Xk29\\\\⟧"', "password='⟦Xk29<v>Q⟧'", 'password = "⟦Xk29\'vQ⟧"', 'password = "⟦{Xk29}vQ⟧"', 'password = "⟦<Xk29vQ⟧"', 'password = "⟦Xk29…vQ⟧"', 'password = "⟦hunter2⟧',
    'password = SecretStr("⟦Xk29vQ⟧")', 'secret := []byte("⟦9f8e7d6c5b4a39281706f5e4⟧")', 'let password = String::from("⟦Xk29vQ⟧");', 'password = os.getenv("DB_PASSWORD", "⟦Xk29vQ⟧")', 'password = os.environ.get("DB_PASSWORD") or "⟦Xk29vQ⟧"',
    'password = process.env.DB_PASSWORD || "⟦Xk29vQ⟧"', 'password ?? "⟦Xk29vQ⟧"',
]  # fmt: skip

# Operators and declarations of many languages.
DECLARED = [
    f'const apiKey: string = "⟦{T}⟧"', f'let password: &str = "⟦{P}⟧";', f'String password = "⟦{P}⟧";', f'var password string = "⟦{P}⟧"', f'password := "⟦{P}⟧"', f'password: Optional[str] = "⟦{P}⟧"',
    f'private static final String API_KEY = "⟦{T}⟧";', f'char password[] = "⟦{P}⟧";', f'char password[32] = "⟦{P}⟧";', f'#define PASSWORD "⟦{P}⟧"', f'#define DB_PASSWORD "⟦{P}⟧"', f'password <- "⟦{P}⟧"', f'$password .= "⟦{P}⟧"',
    f'password ||= "⟦{P}⟧"', f'PASSWORD ?= ⟦{P}⟧', f'password == "⟦{P}⟧"', f'password === "⟦{P}⟧"', f"password != '⟦{P}⟧'", f":password => '⟦{P}⟧'", f'%{{password: "⟦{P}⟧"}}', f'(setq password "⟦{P}⟧")', f'(def password "⟦{P}⟧")',
    f'val password = "⟦{P}⟧"', f'let password = "⟦{P}⟧"', f'@password = "⟦{P}⟧"', f'set DB_PASSWORD=⟦{P}⟧', f'set -x DB_PASSWORD ⟦{P}⟧', f'setx DB_PASSWORD ⟦{P}⟧', f'export DB_PASSWORD=⟦{P}⟧', f'ENV DB_PASSWORD ⟦{P}⟧', f'ENV DB_PASSWORD=⟦{P}⟧',
    f'ARG DB_PASSWORD=⟦{P}⟧', f'java -Ddb.password=⟦{P}⟧ -jar a.jar', f'mysql --password=⟦{P}⟧', f'mysql --password ⟦{P}⟧ -u root', f"x --db-password '⟦{P}⟧'", f"ALTER USER bob PASSWORD '⟦{P}⟧'", f"CREATE USER bob IDENTIFIED BY '⟦{P}⟧'",
    f"ALTER ROLE bob WITH ENCRYPTED PASSWORD '⟦{P}⟧';", f"IDENTIFIED WITH mysql_native_password BY '⟦{P}⟧'", f"password1 = '⟦{P}⟧'", f"DB_PASSWORD_PROD = '⟦{P}⟧'", f'password = N\'⟦{P}⟧\'', f'$env:DB_PASSWORD = "⟦{P}⟧"', f'config["password"] = "⟦{P}⟧"',
    f'setPassword("⟦{P}⟧")', f"define('DB_PASSWORD', '⟦{P}⟧');", f'"password", "⟦{P}⟧"', f"requirepass ⟦{P}⟧", f'export DB_PASSWORD="⟦{P}⟧"', f"- DB_PASSWORD=⟦{P}⟧", f'password = ⟦{P}⟧ # comment',
]  # fmt: skip

# Data, settings, commands.
PLACES = [
    f"- name: DB_PASSWORD\n  value: ⟦{P}⟧", '- name: DB_PASSWORD\n  value: "⟦two w0rds 9$⟧"', f"- value: ⟦{P}⟧\n  name: DB_PASSWORD", f'{{"name":"DB_PASSWORD","value":"⟦{P}⟧"}}', f'{{"value":"⟦{P}⟧","name":"DB_PASSWORD"}}',
    f'{{"name": "DB_PASSWORD",\n "value": "⟦{P}⟧"}}', f'{{\\"name\\":\\"DB_PASSWORD\\",\\"value\\":\\"⟦{P}⟧\\"}}', f'{{"key":"password","type":"secret","value":"⟦{P}⟧"}}', f"ParameterKey: DbPassword\nParameterValue: ⟦{P}⟧", f'name = "DB_PASSWORD"\n  value = "⟦{P}⟧"',
    "password: |\n  ⟦Xk29 vQ\n  m4tz⟧\nuser: x", "password: >-\n  ⟦Xk29vQ⟧\n", f"<password>⟦{P}⟧</password>", "<password>⟦a$b;c(9 d⟧</password>", "<password><![CDATA[⟦Xk<29>vQ⟧]]></password>", f'<add key="Password" value="⟦{P}⟧"/>', f'<add value="⟦{P}⟧" key="Password"/>',
    f'<property name="password" value="⟦{P}⟧"/>', f"<key>password</key>\n<string>⟦{P}⟧</string>", f'<string name="api_key">⟦{T}⟧</string>', f"<name>db.password</name>\n  <value>⟦{P}⟧</value>",
    f"Server=db;User Id=sa;Password=⟦{P}⟧;Encrypt=yes", "Server=db;Password='⟦a;b 9$⟧';Encrypt=yes", f"host=db password=⟦{P}⟧ user=x", "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=⟦Zm9vYmFyYmF6MTIzNDU2Nzg5MGFiY2RlZg==⟧;EndpointSuffix=y",
    f"machine h login me password ⟦{P}⟧", f"machine h\nlogin me\npassword ⟦{P}⟧", f"db.example.org:5432:main:bob:⟦{P}⟧", f"*:*:*:bob:⟦{P}⟧", f"//registry.example.org/:_authToken=⟦{T}⟧", "_auth=⟦Ym9iOnNlY3JldA==⟧", '"auth": "⟦Ym9iOnNlY3JldA==⟧"', '{"auths":{"h":{"auth":"⟦dXNlcjpwYXNz⟧"}}}',
    f"Cookie: session=⟦{T}⟧", f"Cookie: theme=dark; session=⟦{T}⟧; lang=en", f"Set-Cookie: sid=⟦{T}⟧; Path=/; HttpOnly; Expires=Wed, 21 Oct 2026 07:28:00 GMT", f'"cookie": "sessionid=⟦{T}⟧; theme=dark"', f"curl -b 'session=⟦{T}⟧' https://x", "Cookie: PHPSESSID=⟦r2t5uvjq435r4q7ib3vtdjq120⟧", f"set-cookie: __Host-auth=⟦{T}⟧",
    "https://x.blob.core.windows.net/c?sv=2024&se=2026-01-01&sig=⟦aB3%2Fk9LmN0pQrS7tUvWxYz12345%3D⟧", f"https://s3.x/b?X-Amz-Date=1&X-Amz-Signature=⟦{T * 2}⟧", f"https://storage.x/b?X-Goog-Signature=⟦{T * 2}⟧&a=b", f"https://app.example.org/cb#access_token=⟦{T}⟧&token_type=bearer",
    "Authorization: Basic ⟦dXNlcjpwYXNz⟧", f"Authorization: Token ⟦{T}⟧", f'Authorization: Digest username="x", realm="y", response="⟦{T}⟧"', f"Authorization: ⟦{T}⟧", f'{{"name":"authorization","value":"Bearer ⟦{T}⟧"}}',
    "postgres://bob:⟦pa$$w0rd⟧@db/x", "mysql://bob:⟦50%sOff⟧@db/x", "amqp://bob:⟦a(b);c,9⟧@db", "https://bob:⟦example99⟧@h/x", f"jdbc:oracle:thin:scott/⟦{P}⟧@db:1521/x", f"sshpass -p ⟦{P}⟧ ssh x", f"mysql -u root -p⟦{P}⟧ db", f"docker login -u bob -p ⟦{P}⟧", f"openssl rsa -passin pass:⟦{P}⟧",
    "DB_PASSWORD=⟦pa$$w(rd;9,x⟧\nNEXT=1", "password=⟦ab;cd9$⟧", "password: ⟦pa,ss(9⟧\n", "password: ⟦Xk29&vQ⟧", f"?password=⟦{P}⟧&x=1", f"the password is ⟦{P}⟧", f"Password for admin is ⟦{P}⟧", f"password - ⟦{P}⟧",
]  # fmt: skip

# Options of any name, tables, colours of a terminal, Perl's quotes, lists, emphasis, tags of YAML, TypeScript's optional members.
MORE = [
    f"--jwt_secret ⟦{T}⟧", "--DB_PASSWORD ⟦4e3QHAa8s0-j8mm4⟧", f"x --authToken ⟦{T}⟧ -v", f'--private_key "⟦{T}⟧"', f"X-Api-Key = @\"⟦{T}⟧\";", f'X-Api-Key = r"⟦{T}⟧"',
    f"| token | ⟦{T}⟧ |", f"| rootPwd | ⟦{P}⟧ | x |", f"| **token** | `⟦{T}⟧` |", f"| user | x |\n| `DB_PASSWORD` | ⟦{P}⟧ |",
    f"\x1b[32mapi_key\x1b[0m=\x1b[31m⟦{T}⟧\x1b[0m", f"\x1b[1;32mpassword\x1b[0m: \x1b[31m⟦{P}⟧\x1b[0m",
    "'SECRET_KEY': '⟦cJnySJ9lVEQzea8YFEZJ7S58xRR=⟧'", "{'SECRET_KEY': '⟦cJnySJ9lVEQzea8YFEZJ7S58xRR=⟧', 'a': 1}", '"apiKey: ⟦iXAlA9mZQSBfPH7duc1aB1B4LNb=⟧"', '"apiKey: !!str ⟦iXAlA9mZQSBfPH7duc1aB1B4LNb=⟧"',
    f'password: str = """⟦{P}⟧"""', f"my $token = q(⟦{T}⟧);", f"my $password = qq{{⟦{P}⟧}};", f"my $secret = q!⟦{T}⟧!;", f'"DB_PASSWORD" : [ "⟦{P}⟧" ]', f'token = ["⟦{T}⟧"]', f'{{"token":["⟦{T}⟧"]}}',
    f"**access_token:** ⟦{T}⟧", "**Password:** `⟦hunter2!x9⟧`", f"*Password:* ⟦{P}⟧", f"rootPwd: !!str ⟦{P}⟧", f'smtp_pass: !!str "⟦{P}⟧"', f'password?: "⟦{P}⟧"', f'apiKey?: string = "⟦{T}⟧"',
]  # fmt: skip

# Words for "password" in other languages.
LANGUAGES = [
    "contraseña: ⟦hunter2⟧", 'contraseña = "⟦Xk29vQ⟧"', "clave: ⟦hunter2⟧", "mot de passe : ⟦hunter2⟧", "mot_de_passe='⟦Xk29vQ⟧'", "mdp: ⟦hunter2⟧", "motDePasse = '⟦Xk29vQ⟧'", "Le mot de passe est ⟦Xk29vQ!⟧", "Passwort: ⟦hunter2⟧", "Kennwort: ⟦hunter2⟧", "Das Passwort ist ⟦Xk29vQ!⟧",
    "senha: ⟦hunter2⟧", "DB_SENHA=⟦hunter2x9⟧", "palavra-passe: ⟦hunter2⟧", "parola: ⟦hunter2⟧", "пароль: ⟦hunter2⟧", "Пароль — ⟦hunter2x⟧", 'пароль = "⟦Xk29vQ⟧"', "密码：⟦hunter2⟧", "密码是⟦hunter2⟧", "密碼: ⟦hunter2⟧", "口令: ⟦hunter2⟧", "パスワード：⟦hunter2⟧", "パスワードは⟦hunter2⟧",
    "비밀번호: ⟦hunter2⟧", "كلمة المرور: ⟦hunter2⟧", "كلمة السر: ⟦hunter2⟧", "पासवर्ड: ⟦hunter2⟧", "hasło: ⟦hunter2⟧", "HASŁO=⟦hunter2⟧", "şifre: ⟦hunter2⟧", "wachtwoord: ⟦hunter2⟧", "lösenord: ⟦hunter2⟧", "adgangskode: ⟦hunter2⟧", "salasana: ⟦hunter2⟧", "heslo: ⟦hunter2⟧", "jelszó: ⟦hunter2⟧", "mật khẩu: ⟦hunter2⟧", "kata sandi: ⟦hunter2⟧",
    "รหัสผ่าน: ⟦hunter2⟧", "סיסמה: ⟦hunter2⟧", "κωδικός: ⟦hunter2⟧",
]  # fmt: skip


@pytest.mark.parametrize("marked", [*STRINGS, *DECLARED, *PLACES, *MORE, *LANGUAGES])
def test_nothing_of_a_value_stays_and_what_is_around_it_does(marked):
    text, value = marked.replace("⟦", "").replace("⟧", ""), marked.partition("⟦")[2].partition("⟧")[0]
    found = secrets(text)
    assert value in found, found
    assert all(other in value for other in found), found


@pytest.mark.parametrize(
    "text",
    [
        "token = oauth2_client.fetch_token(x)", "password = hash_pbkdf2_sha256(pw)", "secret: K8sSecretRef", "secret = K8sSecretRef(name)", "token = get_oauth2_token_v2(self)", "password = users[2].password", "password=os.environ['DB_PASSWORD2']", 'token = os.environ["API_TOKEN_V2"]',
        "apiKey: process.env.API_KEY_2", "password: ${DB_PASSWORD2}", 'password = "${DB_PASSWORD2}"', 'password: "{{ vault.db_password2 }}"', "password: <your-password-1>", "password = '<password1>'", '<input type="hidden" name="csrfmiddlewaretoken" value="9f8e7d6c5b4a39281706f5e4d3c2b1a0">',
        "csrfmiddlewaretoken=9f8e7d6c5b4a39281706f5e4d3c2b1a0", "csrf_token: 9f8e7d6c5b4a39281706f5e4d3c2b1a0", "X-CSRF-Token: 9f8e7d6c5b4a39281706f5e4d3c2b1a0", "authenticity_token=9f8e7d6c5b4a39281706f5e4d3c2b1a0", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        'password = "Enter your password"', '"password": "Password must have 8 characters"', '"password": "At least 8 characters, 1 digit"', "password: SHA256 of the password", 'label password "Enter your password"', "password: your-password-here", 'password = "change_me_in_production"', "password = 'example'",
        'password = "test"', "token: vault:secret/data/db#token1", "password: op://vault/item9/password", "password: !ref DbPassword1", "secret = Sha256Hmac.compute(key1)", "password: sha256.New()", "token = jwt.encode(payload2, key)", "token: AuthTokenV2Response", "type Password2 struct {", "let token = cfg.auth0_token;",
        "password = base64.b64decode(x1)", "token = self.tokens[i2].value", "const token = await this.auth2.getToken();", "secret_name = 'db2'", "password_hash = 'x'", "passwords = ['a1', 'b2']", "if password == other.password2:", "password is 12 characters long", "password - 8 characters", "password, confirm = form1.values()",
        "auth: basic", '"auth": "oauth2"', "auth: {type: 1}", "Cookie: theme=dark; lang=en-US", "Set-Cookie: a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "cookie = SimpleCookie()", 'document.cookie = name + "=" + value', "-p 8080:80", "docker run -p 5432:5432 db", "ssh -p 2222 host", "git commit -a -m x1",
        "value: 12\nname: port", '{"value":"Xk29vQ-m4tz","name":"color"}', "- name: LOG_LEVEL\n  value: debug2x", "response=200", "&signature=short", "?sig=abc", "password\n\n# heading 2", "password: |\n  see the wiki\n", "<password></password>", '<label for="password">Password 1</label>', "https://user:password@host/x",
        "postgres://user:${PASSWORD2}@db", "file.py:12:34:error:x1y2z3", "pass: 123/456 tests", "42 passed, 3 failed in 2s", "bypass = true12", "compass: N45E12x", "clave primaria", "parola", "mot de passe oublié ?", "пароль не найден", "token = 'user.auth2.token'", "secret_ref: team-a/db-secret-v2",
        "echo $PASSWORD | sha256sum", "cat token | base64 -d", "password?: string", "token?: string | null", "--max-tokens 4096", "--token-file /etc/x1y2z3", "| token | description |", "| password | string8 | the password |", '"token": ["next", "prev"]',
        "token: !!binary", "**token:** the token of page 2", "--use-auth-token true", "--token $TOKEN1", "password | required | min8", "X-Api-Key = key2", 'type T = {password?: "a" | "b"}',
    ],
)  # fmt: skip
def test_code_and_placeholders_and_sentences_are_left(text):
    assert secrets(text) == []
