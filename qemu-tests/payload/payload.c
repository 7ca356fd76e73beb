/*
 * What the test containers run, where toybox has no fitting command: one static program, a word for each
 * behaviour. It prints what it sees and never judges: the tests do.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int arg_int(char **argv, int fallback)
{
	return argv[0] ? atoi(argv[0]) : fallback;
}

/* web PORT [READY-FILE]: answers 200; /ready answers 503 until READY-FILE is there. */
static void web_answer(int fd, const char *ready)
{
	char request[2048], reply[512], host[64] = "?";
	ssize_t n = read(fd, request, sizeof(request) - 1);
	int ok;

	if (n <= 0)
		return;
	request[n] = 0;
	ok = strncmp(request, "GET /ready", 10) != 0 || !ready || access(ready, F_OK) == 0;
	gethostname(host, sizeof(host) - 1);
	n = snprintf(reply, sizeof(reply), "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nConnection: close\r\n"
		     "Content-Length: %zu\r\n\r\n%s\n", ok ? "200 OK" : "503 Not Ready", strlen(host) + 1, host);
	if (write(fd, reply, n) != n)
		perror("web: write");
}

static int web(char **argv)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(arg_int(argv, 8080)) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), client, one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0) {
		perror("web: listen");
		return 1;
	}
	printf("web: listening on %d\n", arg_int(argv, 8080));
	while ((client = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		web_answer(client, argv[0] ? argv[1] : NULL);
		shutdown(client, SHUT_WR);
		close(client);
	}
	perror("web: accept");
	return 1;
}

/* eat MIB: touch that much memory, a mebibyte at a time, then wait. */
static int eat(char **argv)
{
	int i, mib = arg_int(argv, 64);

	for (i = 0; i < mib; i++) {
		char *p = malloc(1 << 20);

		if (!p)
			return 1;
		memset(p, i + 1, 1 << 20);
	}
	printf("eat: %d MiB eaten\n", mib);
	for (;;)
		pause();
}

static void on_terminate(int sig)
{
	(void)sig;
	_exit(0);
}

/* pause: wait for SIGTERM; children that come to us are reaped by the kernel, as SIGCHLD is ignored. */
static int pause_here(char **argv)
{
	(void)argv;
	signal(SIGCHLD, SIG_IGN);
	signal(SIGTERM, on_terminate);
	while (pause() < 0)
		continue;
	return 0;
}

/* lines COUNT [WIDTH] [USEC]: numbered lines, even ones on stdout, odd ones on stderr. */
static int lines(char **argv)
{
	int i, count = arg_int(argv, 10), width = argv[0] && argv[1] ? atoi(argv[1]) : 0;
	int wait = argv[0] && argv[1] && argv[2] ? atoi(argv[2]) : 0;

	for (i = 0; i < count; i++) {
		fprintf(i % 2 ? stderr : stdout, "line %0*d\n", width, i);
		if (wait)
			usleep(wait);
	}
	return 0;
}

/* ticks: a numbered line each 100 ms, without end: a hole in the log is a lost line. */
static int ticks(char **argv)
{
	long long i = 0;

	(void)argv;
	do
		printf("tick %lld\n", i++);
	while (usleep(100000) == 0 || errno == EINTR);
	return 1;
}

static volatile sig_atomic_t got;

static void on_signal(int sig)
{
	got = sig;
}

/* signals [CODE]: print each signal that comes; SIGTERM, SIGINT and SIGUSR1 end it with CODE. */
static int signals(char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	int i, code = arg_int(argv, 0);
	sigset_t set, old;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	for (i = 1; i < 32; i++)
		if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &action, NULL);
	printf("signals: ready\n");
	for (;;) {
		sigsuspend(&old);
		printf("signals: %d\n", got);
		if (got == SIGTERM || got == SIGINT || got == SIGUSR1)
			return code;
	}
}

static int exit_with(char **argv)
{
	return arg_int(argv, 0);
}

static const struct {
	const char *word;
	int (*run)(char **argv);
} words[] = {
	{ "web", web }, { "eat", eat }, { "pause", pause_here }, { "lines", lines }, { "ticks", ticks },
	{ "signals", signals }, { "exit", exit_with },
};

int main(int argc, char **argv)
{
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; argc > 1 && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(argv[1], words[i].word) == 0)
			return words[i].run(argv + 2);
	fprintf(stderr, "payload: web eat pause lines ticks signals exit\n");
	return 2;
}
