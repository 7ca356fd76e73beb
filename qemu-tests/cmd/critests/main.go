package main

import _ "crisp.dev/qemu-tests/cri/payload"

func main() {}
