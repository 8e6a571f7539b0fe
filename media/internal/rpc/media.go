package rpc

import (
	"context"
	"errors"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-id/muster/eventstore"
	"github.com/muster-id/muster/media/internal/app"
	"github.com/muster-id/muster/media/internal/store"
	"github.com/muster-id/muster/platform/access"
	"github.com/muster-id/muster/platform/reason"
	"github.com/muster-id/muster/platform/telemetry"
	eventlogv1 "github.com/muster-id/muster/proto/gen/go/muster/eventlog/v1"
	mediav1 "github.com/muster-id/muster/proto/gen/go/muster/media/v1"
	"github.com/muster-id/muster/proto/gen/go/muster/media/v1/mediav1connect"
	musterv1 "github.com/muster-id/muster/proto/gen/go/muster/v1"
)

// deleteAny is the permission to delete other people's files.
const deleteAny = "files.delete"

// Media serves MediaService.
type Media struct {
	mediav1connect.UnimplementedMediaServiceHandler
	app app.App
}

var _ mediav1connect.MediaServiceHandler = (*Media)(nil)

// NewMedia makes the handler.
func NewMedia(app app.App) *Media { return &Media{app: app} }

// SetAvatar makes the caller's avatar of a picture.
func (m *Media) SetAvatar(ctx context.Context, request *connect.Request[mediav1.SetAvatarRequest]) (*connect.Response[mediav1.SetAvatarResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	set, err := m.app.Commands.SetAvatar.Handle(ctx, app.SetAvatar{
		UserID: caller.UserID, Picture: request.Msg.GetPicture(), Request: requestOf(ctx),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.SetAvatarResponse{AvatarId: set.AvatarID, Position: positionOf(set.Position)}), nil
}

// RemoveAvatar removes the caller's avatar.
func (m *Media) RemoveAvatar(ctx context.Context, _ *connect.Request[mediav1.RemoveAvatarRequest]) (*connect.Response[mediav1.RemoveAvatarResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	at, removed, err := m.app.Commands.RemoveAvatar.Handle(ctx, app.RemoveAvatar{UserID: caller.UserID, Request: requestOf(ctx)})
	if err != nil {
		return nil, refusal(err)
	}
	response := &mediav1.RemoveAvatarResponse{}
	if removed {
		response.Position = positionOf(at)
	}
	return connect.NewResponse(response), nil
}

// GetAvatar gives a picture to whoever knows its id.
func (m *Media) GetAvatar(ctx context.Context, request *connect.Request[mediav1.GetAvatarRequest]) (*connect.Response[mediav1.GetAvatarResponse], error) {
	picture, err := m.app.Queries.GetAvatar.Handle(ctx, app.GetAvatar{AvatarID: request.Msg.GetAvatarId()})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.GetAvatarResponse{Picture: picture}), nil
}

// CreateUpload begins an upload.
func (m *Media) CreateUpload(ctx context.Context, request *connect.Request[mediav1.CreateUploadRequest]) (*connect.Response[mediav1.CreateUploadResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	created, err := m.app.Commands.CreateUpload.Handle(ctx, app.CreateUpload{
		UserID:      caller.UserID,
		Name:        request.Msg.GetName(),
		ContentType: request.Msg.GetContentType(),
		Size:        request.Msg.GetSize(),
		Public:      request.Msg.GetPublic(),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.CreateUploadResponse{
		FileId:    created.FileID,
		Url:       created.URL,
		Fields:    created.Fields,
		ExpiresAt: timestamppb.New(created.ExpiresAt),
	}), nil
}

// CompleteUpload makes a file of what was uploaded.
func (m *Media) CompleteUpload(ctx context.Context, request *connect.Request[mediav1.CompleteUploadRequest]) (*connect.Response[mediav1.CompleteUploadResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	completed, err := m.app.Commands.CompleteUpload.Handle(ctx, app.CompleteUpload{
		UserID: caller.UserID, FileID: request.Msg.GetFileId(), Request: requestOf(ctx),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.CompleteUploadResponse{File: fileOf(completed)}), nil
}

// GetFile tells of a file that the caller may read.
func (m *Media) GetFile(ctx context.Context, request *connect.Request[mediav1.GetFileRequest]) (*connect.Response[mediav1.GetFileResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	found, err := m.app.Queries.GetFile.Handle(ctx, app.GetFile{UserID: caller.UserID, FileID: request.Msg.GetFileId()})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.GetFileResponse{File: fileOf(found)}), nil
}

// GetFileUrl presigns an address of a file that the caller may read.
func (m *Media) GetFileUrl(ctx context.Context, request *connect.Request[mediav1.GetFileUrlRequest]) (*connect.Response[mediav1.GetFileUrlResponse], error) { //nolint:revive // generated name
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	address, err := m.app.Queries.GetFileURL.Handle(ctx, app.GetFileURL{UserID: caller.UserID, FileID: request.Msg.GetFileId()})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.GetFileUrlResponse{Url: address.URL.Reveal(), ExpiresAt: timestamppb.New(address.ExpiresAt)}), nil
}

// GetPublicFileUrl presigns an address of a public file, for anyone.
func (m *Media) GetPublicFileUrl(ctx context.Context, request *connect.Request[mediav1.GetPublicFileUrlRequest]) (*connect.Response[mediav1.GetPublicFileUrlResponse], error) { //nolint:revive // generated name
	address, err := m.app.Queries.GetFileURL.Handle(ctx, app.GetFileURL{FileID: request.Msg.GetFileId()})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.GetPublicFileUrlResponse{Url: address.URL.Reveal(), ExpiresAt: timestamppb.New(address.ExpiresAt)}), nil
}

// ListFiles tells a page of files.
func (m *Media) ListFiles(ctx context.Context, request *connect.Request[mediav1.ListFilesRequest]) (*connect.Response[mediav1.ListFilesResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	after, err := placeOf(request.Msg.GetAfter())
	if err != nil {
		return nil, err
	}
	page, err := m.app.Queries.ListFiles.Handle(ctx, app.ListFiles{
		UserID: caller.UserID,
		Shared: request.Msg.GetShared(),
		After:  after,
		Limit:  int(request.Msg.GetPageSize()),
	})
	if err != nil {
		return nil, refusal(err)
	}
	response := &mediav1.ListFilesResponse{Files: make([]*mediav1.File, len(page.Files))}
	for i, found := range page.Files {
		response.Files[i] = fileOf(found)
	}
	if next := page.Next; next != nil {
		response.Next = &mediav1.FilePlace{UploadedAt: timestamppb.New(next.UploadedAt), FileId: next.ID.String()}
	}
	return connect.NewResponse(response), nil
}

// ShareFile lets a person, or everyone, read a file of the caller's.
func (m *Media) ShareFile(ctx context.Context, request *connect.Request[mediav1.ShareFileRequest]) (*connect.Response[mediav1.ShareFileResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	shared, err := m.app.Commands.ShareFile.Handle(ctx, app.ShareFile{
		UserID: caller.UserID, FileID: request.Msg.GetFileId(), With: request.Msg.GetUserId(), Request: requestOf(ctx),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.ShareFileResponse{File: fileOf(shared)}), nil
}

// UnshareFile takes that back.
func (m *Media) UnshareFile(ctx context.Context, request *connect.Request[mediav1.UnshareFileRequest]) (*connect.Response[mediav1.UnshareFileResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	unshared, err := m.app.Commands.UnshareFile.Handle(ctx, app.UnshareFile{
		UserID: caller.UserID, FileID: request.Msg.GetFileId(), With: request.Msg.GetUserId(), Request: requestOf(ctx),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.UnshareFileResponse{File: fileOf(unshared)}), nil
}

// DeleteFile deletes a file of the caller's, or any for holders of the permission.
func (m *Media) DeleteFile(ctx context.Context, request *connect.Request[mediav1.DeleteFileRequest]) (*connect.Response[mediav1.DeleteFileResponse], error) {
	caller, err := signedIn(ctx)
	if err != nil {
		return nil, err
	}
	err = m.app.Commands.DeleteFile.Handle(ctx, app.DeleteFile{
		UserID: caller.UserID, FileID: request.Msg.GetFileId(), Any: caller.May(deleteAny), Request: requestOf(ctx),
	})
	if err != nil {
		return nil, refusal(err)
	}
	return connect.NewResponse(&mediav1.DeleteFileResponse{}), nil
}

// signedIn is who calls. The gate lets nobody else through; should it ever, the
// answer is no.
func signedIn(ctx context.Context) (access.Principal, error) {
	principal, ok := access.PrincipalFrom(ctx)
	if !ok {
		return access.Principal{}, reason.New(musterv1.Reason_REASON_UNAUTHENTICATED)
	}
	return principal, nil
}

// requestOf is in which call a command came.
func requestOf(ctx context.Context) app.Request {
	request := telemetry.RequestFrom(ctx)
	return app.Request{
		ID:          request.ID,
		TraceParent: telemetry.TraceParent(ctx),
		Origin:      &eventstore.Origin{Address: request.ClientAddress, UserAgent: request.UserAgent},
	}
}

func positionOf(position eventstore.Position) *eventlogv1.Position {
	return &eventlogv1.Position{Log: position.Log, Epoch: position.Epoch, Stream: position.Stream, Version: position.Version}
}

// placeOf reads where a page ended. Only the gateway makes places, and it seals
// them, so one that is none is a fault of a program.
func placeOf(place *mediav1.FilePlace) (*store.Place, error) {
	if place == nil {
		return nil, nil //nolint:nilnil // the first page comes after nothing
	}
	id, err := uuid.Parse(place.GetFileId())
	if err = errors.Join(err, place.GetUploadedAt().CheckValid()); err != nil {
		return nil, reason.New(musterv1.Reason_REASON_INVALID_ARGUMENT, reason.Field("after"), reason.Cause(err))
	}
	return &store.Place{UploadedAt: place.GetUploadedAt().AsTime(), ID: id}, nil
}

func fileOf(found app.File) *mediav1.File {
	return &mediav1.File{
		FileId:      found.ID,
		OwnerId:     found.OwnerID,
		Name:        found.Name,
		ContentType: found.ContentType,
		Size:        found.Size,
		Public:      found.Public,
		SharedWith:  found.Readers,
		UploadedAt:  timestamppb.New(found.UploadedAt),
	}
}
