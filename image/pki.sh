#!/bin/bash
# A certificate authority of the tests' own, what it signs, and the registry's accounts: build/appliance/pki.
# Made once a build directory; worth nothing outside of the test machine.
#
#   image/pki.sh
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

pki=$out/pki
user=crisp
password=only-a-test

key_make()
{
	openssl ecparam -name prime256v1 -genkey -noout -out "$1.key" 2>/dev/null
}

ca_make()
{
	key_make ca
	openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=crisp test CA" -out ca.crt \
		-addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
}

# cert_make NAME SUBJECT-ALT-NAMES
cert_make()
{
	key_make "$1"
	openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days 1825 -out "$1.crt" \
		-extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$2") 2>/dev/null
	rm "$1.csr"
}

main()
{
	[ -e "$pki/auth.json" ] && return 0
	rm -rf "$pki"
	mkdir -p "$pki"
	cd "$pki"
	ca_make
	cert_make registry DNS:registry.test,DNS:localhost,IP:127.0.0.1,IP:::1
	cert_make kubelet DNS:node,DNS:localhost,IP:127.0.0.1,IP:192.168.77.10
	# the cheapest bcrypt there is: every request pays for it, in an emulated processor
	# shellcheck disable=SC2094 # a program and a file of that name
	htpasswd -Bbn -C 4 "$user" "$password" >htpasswd
	printf '{"auths":{"registry.test:5000":{"auth":"%s"}}}\n' "$(printf '%s:%s' "$user" "$password" | base64)" \
		>auth.json
}

main
