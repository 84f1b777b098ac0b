"""Questions of workers to people, on boards that allow them, and the answers."""

from services.questions.commands import answer_question, ask_question
from services.questions.queries import (
    OPEN_QUESTIONS,
    QuestionDetail,
    get_question,
    list_questions,
    open_count_query,
)
