package powercut

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// The network block device protocol, as far as QEMU needs it to have a disk: fixed newstyle handshake, simple replies.
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
const (
	magicServer   = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption   = 0x49484156454f5054 // "IHAVEOPT"
	magicReplyOpt = 0x3e889045565a9
	magicRequest  = 0x25609513
	magicReply    = 0x67446698

	handshakeFixed   = 1 << 0
	handshakeNoZeros = 1 << 1

	optionExportName = 1
	optionAbort      = 2
	optionInfo       = 6
	optionGo         = 7

	replyAck         = 1
	replyInfo        = 3
	replyUnsupported = 1<<31 | 1

	infoExport    = 0
	infoBlockSize = 3

	exportHasFlags = 1 << 0
	exportFlush    = 1 << 2
	exportFUA      = 1 << 3
	exportFlags    = exportHasFlags | exportFlush | exportFUA

	commandRead  = 0
	commandWrite = 1
	commandStop  = 2
	commandFlush = 3
	commandFUA   = 1 << 0

	errnoIO      = 5
	errnoInvalid = 22

	optionMax  = 64 << 10
	requestMax = 32 << 20
)

// Serve answers one client after another until the listener is closed.
func (d *Disk) Serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		err = d.serveClient(conn)
		conn.Close()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			return err
		}
	}
}

type client struct {
	*bufio.Reader
	w *bufio.Writer
}

func (c *client) put(values ...any) error {
	for _, v := range values {
		if err := binary.Write(c.w, binary.BigEndian, v); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) get(values ...any) error {
	for _, v := range values {
		if err := binary.Read(c, binary.BigEndian, v); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) serveClient(conn net.Conn) error {
	c := &client{bufio.NewReaderSize(conn, 1<<20), bufio.NewWriterSize(conn, 1<<20)}
	transmit, err := d.negotiate(c)
	if err != nil || !transmit {
		return err
	}
	for {
		if c.Buffered() == 0 {
			if err := c.w.Flush(); err != nil {
				return err
			}
		}
		more, err := d.request(c)
		if errors.Is(err, ErrOff) {
			// not a word after the cut, nor an end of the connection: whoever waits for an answer waits until he is gone
			_, err := io.Copy(io.Discard, c)
			return err
		}
		if err != nil || !more {
			return err
		}
	}
}

// negotiate returns whether requests follow.
func (d *Disk) negotiate(c *client) (bool, error) {
	if err := c.put(uint64(magicServer), uint64(magicOption), uint16(handshakeFixed|handshakeNoZeros)); err != nil {
		return false, err
	}
	var flags uint32
	if err := errors.Join(c.w.Flush(), c.get(&flags)); err != nil {
		return false, err
	}
	for {
		var magic uint64
		var option, length uint32
		if err := c.get(&magic, &option, &length); err != nil {
			return false, err
		}
		if magic != magicOption || length > optionMax {
			return false, fmt.Errorf("nbd: an option of %d bytes with the magic %x", length, magic)
		}
		if _, err := c.Discard(int(length)); err != nil {
			return false, err
		}
		transmit, end, err := d.option(c, option, flags)
		if err == nil {
			err = c.w.Flush()
		}
		if err != nil || end {
			return transmit, err
		}
	}
}

func (d *Disk) option(c *client, option, flags uint32) (transmit, end bool, err error) {
	reply := func(kind uint32, data ...any) error {
		length := 0
		for _, v := range data {
			length += binary.Size(v)
		}
		return c.put(append([]any{uint64(magicReplyOpt), option, kind, uint32(length)}, data...)...)
	}
	switch option {
	case optionExportName: // the one option without a reply's frame
		err = c.put(uint64(d.size), uint16(exportFlags))
		if flags&handshakeNoZeros == 0 {
			err = errors.Join(err, c.put(make([]byte, 124)))
		}
		return true, true, err
	case optionAbort:
		return false, true, reply(replyAck)
	case optionInfo, optionGo:
		err = errors.Join(reply(replyInfo, uint16(infoExport), uint64(d.size), uint16(exportFlags)),
			reply(replyInfo, uint16(infoBlockSize), uint32(Sector), uint32(4096), uint32(requestMax)),
			reply(replyAck))
		return option == optionGo, option == optionGo, err
	}
	return false, false, reply(replyUnsupported)
}

// request answers one; false when there will be no more.
func (d *Disk) request(c *client) (bool, error) {
	var magic, length uint32
	var flags, command uint16
	var cookie, at uint64
	if err := c.get(&magic, &flags, &command, &cookie, &at, &length); err != nil {
		return false, err
	}
	if magic != magicRequest || (command == commandRead || command == commandWrite) && length > requestMax {
		return false, fmt.Errorf("nbd: request %d of %d bytes with the magic %x", command, length, magic)
	}
	var data []byte
	var err error
	switch command {
	case commandStop:
		return false, nil
	case commandRead:
		data = make([]byte, length)
		_, err = d.ReadAt(data, int64(at))
	case commandWrite:
		payload := make([]byte, length)
		if _, err := io.ReadFull(c, payload); err != nil {
			return false, err
		}
		if flags&commandFUA != 0 {
			_, err = d.WriteThrough(payload, int64(at))
		} else {
			_, err = d.WriteAt(payload, int64(at))
		}
	case commandFlush:
		time.Sleep(d.FlushTime)
		err = d.Flush()
	default:
		return true, c.put(uint32(magicReply), uint32(errnoInvalid), cookie)
	}
	if errors.Is(err, ErrOff) {
		return false, err
	}
	if err != nil {
		return true, c.put(uint32(magicReply), uint32(errnoIO), cookie)
	}
	return true, c.put(uint32(magicReply), uint32(0), cookie, data)
}
