"""Single sign-on by OpenID Connect: people come in with what a provider says of them."""
